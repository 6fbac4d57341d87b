// Nothing is compiled here: shims are their header. What has code of its own is in crash.c.

#include "CLinux.h"
