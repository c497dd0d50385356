"""From nodes to kernel calls over named memory."""
