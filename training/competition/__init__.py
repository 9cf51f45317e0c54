"""The competition: one frozen policy against rules that were tuned as hard as it was."""
