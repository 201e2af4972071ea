"""How do people look at an ECG and see why? A web page over bundles, runs and datasets."""
