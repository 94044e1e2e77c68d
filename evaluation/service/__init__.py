"""The evaluation service: prediction sets and models judged against registered datasets."""
