"""What a supervisor shows of itself and lets be asked: status, health, history, metrics. It knows
what is shown, and neither who shows it nor how it came about."""
