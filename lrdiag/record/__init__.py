"""What flows between the rooms, and the run folder that it is kept in."""
