//! `#[task]` and `#[dag]`: functions whose calls make a DAG.

use proc_macro2::{TokenStream, TokenTree};
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::{FnArg, Ident, ItemFn, LitStr, Pat, ReturnType, Token, Type};

/// `name = value` pairs, the values as JSON.
#[derive(Default)]
pub(crate) struct Settings(Vec<(Ident, TokenStream)>);

impl Parse for Settings {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let mut settings = Vec::new();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            let mut value = TokenStream::new();
            while !input.is_empty() && !input.peek(Token![,]) {
                value.extend(std::iter::once(input.parse::<TokenTree>()?));
            }
            if value.is_empty() {
                return Err(syn::Error::new(name.span(), "a setting is `name = value`"));
            }
            settings.push((name, value));
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(Self(settings))
    }
}

impl Settings {
    /// A JSON object of all but `left_out`.
    fn json(&self, left_out: &str) -> TokenStream {
        let pairs = self.0.iter().filter(|(name, _)| name != left_out);
        let pairs = pairs.map(|(name, value)| {
            let name = LitStr::new(&name.to_string(), name.span());
            quote!(#name: #value)
        });
        quote!(::airlock_sdk::serde_json::json!({ #(#pairs),* }))
    }

    /// The text of one setting, or the function's name.
    fn name(&self, key: &str, function: &Ident) -> TokenStream {
        match self.0.iter().find(|(name, _)| name == key) {
            Some((_, value)) => value.clone(),
            None => {
                let name = LitStr::new(&function.to_string(), function.span());
                quote!(#name)
            }
        }
    }
}

struct Arguments {
    names: Vec<Ident>,
    types: Vec<Type>,
    wants_task: bool,
}

/// The last argument may be the attempt: `task: &Task`.
fn arguments(function: &ItemFn) -> syn::Result<Arguments> {
    let mut found = Arguments {
        names: Vec::new(),
        types: Vec::new(),
        wants_task: false,
    };
    for input in &function.sig.inputs {
        let expected = "a task is `fn name(argument: Type, ..., task: &Task) -> Result<T, TaskError>`; `task` may be left out";
        let FnArg::Typed(typed) = input else {
            return Err(syn::Error::new_spanned(input, expected));
        };
        let Pat::Ident(name) = typed.pat.as_ref() else {
            return Err(syn::Error::new_spanned(&typed.pat, expected));
        };
        if found.wants_task {
            return Err(syn::Error::new_spanned(
                input,
                "`task` is the last argument",
            ));
        }
        if matches!(typed.ty.as_ref(), Type::Reference(_)) {
            found.wants_task = true;
            continue;
        }
        found.names.push(name.ident.clone());
        found.types.push((*typed.ty).clone());
    }
    Ok(found)
}

pub(crate) fn task(settings: &Settings, function: &ItemFn) -> syn::Result<TokenStream> {
    let ident = &function.sig.ident;
    let visibility = &function.vis;
    let ReturnType::Type(_, answer) = &function.sig.output else {
        return Err(syn::Error::new_spanned(
            &function.sig,
            "a task answers `Result<T, TaskError>`",
        ));
    };
    let Arguments {
        names,
        types,
        wants_task,
    } = arguments(function)?;
    let texts: Vec<LitStr> = names
        .iter()
        .map(|name| LitStr::new(&name.to_string(), name.span()))
        .collect();
    let name = settings.name("name", ident);
    let summary = crate::first_doc_line(function)?;
    let config = format_ident!("{}_config", ident);
    let attempt = wants_task.then(|| quote!(task));
    let json = settings.json("name");
    // The user's function lives inside, so that its name can be that of the call in a DAG.
    Ok(quote! {
        #[doc(hidden)]
        #[allow(non_camel_case_types, missing_docs, reason = "shares the name of the task's function")]
        #[derive(::airlock_sdk::serde::Deserialize, ::airlock_sdk::schemars::JsonSchema)]
        #[serde(crate = "::airlock_sdk::serde", deny_unknown_fields)]
        #[schemars(crate = "::airlock_sdk::schemars")]
        #visibility struct #config { #(#names: #types),* }

        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "shares the name of the task's function")]
        #visibility struct #ident {}

        impl ::airlock_sdk::Operator for #ident {
            type Config = #config;
            const NAME: &'static str = #name;
            const SUMMARY: &'static str = #summary;
            const KIND: ::airlock_sdk::OperatorKind = ::airlock_sdk::OperatorKind::Operator;

            fn run(
                config: Self::Config,
                task: &::airlock_sdk::Task,
            ) -> ::core::result::Result<::airlock_sdk::Outcome, ::airlock_sdk::TaskError> {
                #function
                let _ = task;
                let #config { #(#names),* } = config;
                ::airlock_sdk::IntoOutcome::into_outcome(#ident(#(#names,)* #attempt)?)
            }
        }

        #[doc = #summary]
        #[allow(clippy::must_use_candidate, reason = "the call is recorded")]
        #visibility fn #ident(
            #(#names: impl ::core::convert::Into<::airlock_sdk::dag::Argument<#types>>),*
        ) -> ::airlock_sdk::dag::Handle<<#answer as ::airlock_sdk::dag::TaskReturn>::Value> {
            ::airlock_sdk::dag::call::<#ident, _>(#json, [#((#texts, #names.into().parts())),*])
        }
    })
}

pub(crate) fn dag(settings: &Settings, function: &ItemFn) -> syn::Result<TokenStream> {
    let ident = &function.sig.ident;
    let visibility = &function.vis;
    let (attributes, block) = (&function.attrs, &function.block);
    if !function.sig.inputs.is_empty() || !matches!(function.sig.output, ReturnType::Default) {
        return Err(syn::Error::new_spanned(
            &function.sig,
            "a dag is `fn name()`: its params are a setting, `params = {...}`",
        ));
    }
    let id = settings.name("dag_id", ident);
    let json = settings.json("dag_id");
    Ok(quote! {
        #(#attributes)*
        #[allow(non_camel_case_types, reason = "shares the name of the function that defines it")]
        #visibility struct #ident {}

        impl ::airlock_sdk::dag::Dag for #ident {
            const DAG_ID: &'static str = #id;

            fn settings() -> ::airlock_sdk::serde_json::Value {
                #json
            }

            fn define() #block
        }
    })
}
