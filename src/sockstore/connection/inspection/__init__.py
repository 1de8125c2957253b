"""The inspector of a connection: timeline, statistics, explanation, log."""
