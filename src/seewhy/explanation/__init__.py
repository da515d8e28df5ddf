"""From a plan to maps of every image: computed, drawn, averaged, kept in a run folder."""
