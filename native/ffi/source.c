#include "overround/native.h"
