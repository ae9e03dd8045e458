"""An atomic model fitted into a map, and checks of where it stands."""
