//! The attributes `#[operator]`, `#[task]` and `#[dag]`: turn functions into types that `airlock_sdk::plugin!` can list.
//! It refuses signatures that the SDK cannot call, with the sentence that says what is expected.

mod taskflow;

use proc_macro::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Expr, FnArg, Ident, ItemFn, Lit, LitStr, Meta, Token, Type, parse_macro_input};

/// Makes an operator of `fn name(config: Config, task: &Task) -> Result<T, TaskError>`.
///
/// The `task` argument may be left out. `T` is anything that serialises (its value becomes the XCom `return_value`),
/// `()`, or an `Outcome`. Options: `name = "..."` (default: the function's name), `summary = "..."` (default: the first
/// line of its doc comment), `sensor` (it may answer `Outcome::NotYet`).
#[proc_macro_attribute]
pub fn operator(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(arguments as Options);
    let function = parse_macro_input!(item as ItemFn);
    expand(&options, &function)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Makes a task of `fn name(argument: Type, ..., task: &Task) -> Result<T, TaskError>`.
///
/// Called inside a `#[dag]` it becomes a task of that DAG; what it returns there is a `Handle`, which other tasks can be given.
/// Arguments are values, handles, or `template("{{ ... }}")`. Options are settings of a DAG file's task, `retries = 2`, which each
/// call can change with `.set(...)`, and `name = "..."`. The first line of its doc comment is the summary.
#[proc_macro_attribute]
pub fn task(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let settings = parse_macro_input!(arguments as taskflow::Settings);
    let function = parse_macro_input!(item as ItemFn);
    taskflow::task(&settings, &function)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Makes a DAG of `fn name()`, which calls tasks.
///
/// Options are settings of a DAG file as JSON: `schedule = "@daily"`, `tags = ["ml"]`, `params = {"rows": {"type": "integer"}}`,
/// and `dag_id = "..."` (default: the function's name).
#[proc_macro_attribute]
pub fn dag(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let settings = parse_macro_input!(arguments as taskflow::Settings);
    let function = parse_macro_input!(item as ItemFn);
    taskflow::dag(&settings, &function)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

#[derive(Default)]
struct Options {
    name: Option<LitStr>,
    summary: Option<LitStr>,
    sensor: bool,
}

impl Parse for Options {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            if key == "sensor" {
                options.sensor = true;
            } else {
                input.parse::<Token![=]>()?;
                let value: LitStr = input.parse()?;
                match key.to_string().as_str() {
                    "name" => options.name = Some(value),
                    "summary" => options.summary = Some(value),
                    _ => {
                        return Err(syn::Error::new(
                            key.span(),
                            "unknown option; there are `name`, `summary` and `sensor`",
                        ));
                    }
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

fn expand(options: &Options, function: &ItemFn) -> syn::Result<proc_macro2::TokenStream> {
    let ident = &function.sig.ident;
    let visibility = &function.vis;
    let name = options
        .name
        .clone()
        .unwrap_or_else(|| LitStr::new(&ident.to_string(), ident.span()));
    let summary = match &options.summary {
        Some(summary) => summary.clone(),
        None => first_doc_line(function)?,
    };
    let kind = if options.sensor {
        quote!(Sensor)
    } else {
        quote!(Operator)
    };
    let (config, wants_task) = arguments(function)?;
    let call = if wants_task {
        quote!(#ident(config, task))
    } else {
        quote!(#ident(config))
    };
    Ok(quote! {
        #function

        #[doc(hidden)]
        #[expect(non_camel_case_types, reason = "shares the name of the function that it calls")]
        #visibility struct #ident {}

        impl ::airlock_sdk::Operator for #ident {
            type Config = #config;
            const NAME: &'static str = #name;
            const SUMMARY: &'static str = #summary;
            const KIND: ::airlock_sdk::OperatorKind = ::airlock_sdk::OperatorKind::#kind;

            fn run(
                config: Self::Config,
                task: &::airlock_sdk::Task,
            ) -> ::core::result::Result<::airlock_sdk::Outcome, ::airlock_sdk::TaskError> {
                let _ = task;
                ::airlock_sdk::IntoOutcome::into_outcome(#call?)
            }
        }
    })
}

fn arguments(function: &ItemFn) -> syn::Result<(Type, bool)> {
    let expected = "an operator is `fn name(config: Config, task: &Task) -> Result<T, TaskError>`; `task` may be left out";
    let inputs = &function.sig.inputs;
    match (inputs.first(), inputs.len()) {
        (Some(FnArg::Typed(config)), 1 | 2) => Ok(((*config.ty).clone(), inputs.len() == 2)),
        _ => Err(syn::Error::new_spanned(&function.sig, expected)),
    }
}

fn first_doc_line(function: &ItemFn) -> syn::Result<LitStr> {
    for attribute in &function.attrs {
        if let Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
            && let Expr::Lit(literal) = &pair.value
            && let Lit::Str(text) = &literal.lit
        {
            return Ok(LitStr::new(text.value().trim(), text.span()));
        }
    }
    Err(syn::Error::new_spanned(
        &function.sig.ident,
        "an operator needs a one-line summary: a doc comment or `summary = \"...\"`",
    ))
}
