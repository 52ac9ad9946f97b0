"""Who gets which task when: leases, answers, skips and the way back."""
