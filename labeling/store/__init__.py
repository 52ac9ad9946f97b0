"""What the labeling service keeps: projects, their tasks, the slots people hold, and what they answered."""
