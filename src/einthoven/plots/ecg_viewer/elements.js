// Elements of the figure, made without markup in strings: a record's name can never become part of the page.

/** An element with attributes, listeners (on...), properties where an attribute would not do, and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true || value === false) element.toggleAttribute(name, value);
    else if (value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A number with its sign, for values that speak for or against. */
export const signed = (value, digits = 3) =>
  `${value < 0 ? "\u2212" : "+"}${Number(Math.abs(value).toPrecision(digits))}`;

/** A number of fixed digits with a true minus sign. */
export const fixed = (value, digits) => value.toFixed(digits).replace("-", "\u2212");
