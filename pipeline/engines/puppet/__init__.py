"""The rooms that the embedded engines share: retargeting, skinning, drawing."""
