"""What people look at and keep: pages made from assessments."""
