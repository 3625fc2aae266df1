"""The compiled forecast of numbers by the recurrent core alone: statistics, seasons, losses and intervals; see
`forecast`.
"""
