//! See main.cpp.
