"""The compiled forecast of numbers: statistics, memories, forecasters, their aggregation and intervals; see
`numbers`.
"""
