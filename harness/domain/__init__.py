"""What every part of the lab may import: the field's types, errors, outcomes and protocols."""
