// Calls what nobody provides.
#include "fixture.h"
int nobody_provides_this(void);
TRIVET_EXPORT int call(void) { return nobody_provides_this(); }
