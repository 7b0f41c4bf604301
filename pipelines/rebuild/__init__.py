"""activity, once more: windows computed anew from the retained records, beside what history serves."""
