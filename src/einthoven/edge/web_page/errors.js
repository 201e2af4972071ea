// Errors that the person before the screen can act on: one sentence, and what it would help to state.

export class ReadError extends Error {
  /**
   * @param {string} message one sentence: what was received, what is needed, what to do.
   * @param {"fs"|"unit"|"leads"|null} needs the field of the form that would mend it.
   */
  constructor(message, needs = null) {
    super(message);
    this.name = "ReadError";
    this.needs = needs;
  }
}

export class ConformError extends Error {}
