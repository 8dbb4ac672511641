"""Tools that know no model and no data set."""
