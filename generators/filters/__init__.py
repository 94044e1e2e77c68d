"""Which generated samples may stay: filters calibrated on the real pictures, and trying again."""
