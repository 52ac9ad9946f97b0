"""The steps by which the recommender's tables came to be; see palate.store.migrate."""
