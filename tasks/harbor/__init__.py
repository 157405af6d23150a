"""Harbor task directories: Terminal-Bench, SkillsBench and what else is written in that form. Reads them; runs nothing."""
