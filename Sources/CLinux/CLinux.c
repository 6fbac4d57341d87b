// Nothing is compiled here: the target is its header. A C target needs one source file.

#include "CLinux.h"
