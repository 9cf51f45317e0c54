"""Paired evaluation of policies: runs, statistics, leaderboard and report."""
