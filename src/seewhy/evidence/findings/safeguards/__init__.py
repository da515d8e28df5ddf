"""What has to hold besides the effect itself before a finding is strong: one file for each safeguard."""
