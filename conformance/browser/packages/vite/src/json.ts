import { connect } from 'nosphere';
import { exchange, type Line } from './exchange';

void exchange(connect<Line, Line>('/echo'));
