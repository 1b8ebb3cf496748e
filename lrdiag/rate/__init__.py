"""The learning rate: curves, schedules over them, the range test, and what is read off it."""
