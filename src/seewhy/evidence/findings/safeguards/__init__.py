"""What has to hold besides the effect itself before a finding is strong: a file each, or one for several small ones."""
