//! Both roles of nosphere-core and a network that fails, as one state.
