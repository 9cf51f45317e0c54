"""Worker managers: each starts, finds and stops workers somewhere (processes, VMs, pods)."""
