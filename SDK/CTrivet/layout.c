// The layout of the ABI, asserted. A plugin built years ago relies on every number here: a change
// that breaks one of these lines breaks that plugin, and belongs into a new struct instead.

#include "trivet_plugin.h"
