// A shared object, but no plugin.
int something_else(void) { return 1; }
