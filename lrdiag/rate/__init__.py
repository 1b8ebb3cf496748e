"""Learning-rate mathematics: curves, range tests, and the rates read from them. It needs numpy only."""
