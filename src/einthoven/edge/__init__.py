"""How does a model become small and fast, and is it still the same? Quantise, export, prove, measure."""
