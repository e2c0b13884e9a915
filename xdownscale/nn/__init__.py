"""The networks: convolutional, local, small."""
