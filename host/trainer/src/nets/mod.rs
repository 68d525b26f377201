//! Logistic regression and the multi-layer perceptron. All sums run in an order that the data's size decides and the number of
//! threads does not, so that both keep the trainer's promise: the same data and settings give the same bytes.

mod adam;
mod blocks;
mod linear;
mod mlp;
mod newton;
mod scaler;
