"""How does it look? ECG paper and figures."""
