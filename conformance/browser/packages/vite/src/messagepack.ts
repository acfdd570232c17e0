import { connect } from 'nosphere';
import { messagepack } from 'nosphere/messagepack';
import { exchange, type Line } from './exchange';

void exchange(connect<Line, Line>('/echo', { format: messagepack }));
