"""How often seewhy tells a shortcut rightly where nobody named a region, beside other tools on the same networks."""
