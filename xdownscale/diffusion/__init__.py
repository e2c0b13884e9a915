"""The process: schedules, what is predicted, and samplers."""
