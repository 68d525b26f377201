//! Operators that can grow a value, written as calls of functions that know a limit: the engine offers no hook for `~`, `+`, `*`,
//! slices and literals of lists. So dates can be added and subtracted as in Python, too. It refuses to change what an expression
//! means: the engine's own parser says where each operator stands.

use minijinja::machinery::{Span, ast, parse, parse_expr};
use std::ops::Range;

/// The functions that operators become. No name of a template begins so by accident.
pub(super) const ADD: &str = "__add";
pub(super) const SUBTRACT: &str = "__subtract";
pub(super) const MULTIPLY: &str = "__multiply";
pub(super) const CONCAT: &str = "__concat";
/// What builds a list, a map or a part of one: charged for what it holds.
pub(super) const KEPT: &str = "__kept";

/// A template that may capture its own text (`macro`, `call`, `filter`, `set` blocks) is at most so long, in bytes: text is copied
/// at every round of a loop, and what is captured is not output that a limit stops.
pub(super) const CAPTURING_BYTES_MAX: usize = 4 << 10;

/// Why a template is not rewritten.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The engine's parser does not take it, and says why when it is compiled.
    Syntax,
    /// It captures text and is longer than [`CAPTURING_BYTES_MAX`].
    Capturing,
    /// An operator was not found where the parser saw it.
    Lost,
}

/// One expression, without braces.
pub(super) fn expression(source: &str) -> Result<String, Refusal> {
    let mut edits = Edits::of(source);
    edits.expr(&parse_expr(source).map_err(|_| Refusal::Syntax)?);
    edits.done()
}

/// A whole template.
pub(super) fn template(source: &str) -> Result<String, Refusal> {
    let parsed = parse(
        source,
        "template",
        minijinja::syntax::SyntaxConfig::default(),
    );
    let mut edits = Edits::of(source);
    edits.stmt(&parsed.map_err(|_| Refusal::Syntax)?);
    if edits.captures && source.len() > CAPTURING_BYTES_MAX {
        return Err(Refusal::Capturing);
    }
    edits.done()
}

/// What comes first where several edits begin at one place; of one kind, the outermost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Close,
    Operator,
    Open,
}

struct Edits<'s> {
    source: &'s str,
    /// What comes in the place of which bytes, and what it is.
    list: Vec<(Range<usize>, Kind, String)>,
    captures: bool,
    is_lost: bool,
}

fn range(span: Span) -> Range<usize> {
    let offset = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    offset(span.start_offset)..offset(span.end_offset)
}

fn span(expr: &ast::Expr<'_>) -> Span {
    use ast::Expr as E;
    match expr {
        E::Var(node) => node.span(),
        E::Const(node) => node.span(),
        E::Slice(node) => node.span(),
        E::UnaryOp(node) => node.span(),
        E::BinOp(node) => node.span(),
        E::Compare(node) => node.span(),
        E::IfExpr(node) => node.span(),
        E::Filter(node) => node.span(),
        E::Test(node) => node.span(),
        E::GetAttr(node) => node.span(),
        E::GetItem(node) => node.span(),
        E::Call(node) => node.span(),
        E::List(node) => node.span(),
        E::Tuple(node) => node.span(),
        E::Map(node) => node.span(),
    }
}

/// Where a chain of attributes, items and calls begins: the parser gives each link the place of the link before it.
fn start(expr: &ast::Expr<'_>) -> usize {
    use ast::Expr as E;
    let own = range(span(expr)).start;
    match expr {
        E::Slice(node) => own.min(start(&node.expr)),
        E::GetAttr(node) => own.min(start(&node.expr)),
        E::GetItem(node) => own.min(start(&node.expr)),
        E::Call(node) => own.min(start(&node.expr)),
        _ => own,
    }
}

impl<'s> Edits<'s> {
    fn of(source: &'s str) -> Self {
        Self {
            source,
            list: Vec::new(),
            captures: false,
            is_lost: false,
        }
    }

    fn done(mut self) -> Result<String, Refusal> {
        if self.is_lost {
            return Err(Refusal::Lost);
        }
        self.list
            .sort_by_key(|(range, kind, _)| (range.start, *kind));
        let mut text = String::with_capacity(self.source.len() + self.list.len() * 8);
        let mut copied = 0;
        for (range, _, new) in self.list {
            text.push_str(self.source.get(copied..range.start).ok_or(Refusal::Lost)?);
            text.push_str(&new);
            copied = range.end;
        }
        text.push_str(self.source.get(copied..).ok_or(Refusal::Lost)?);
        Ok(text)
    }

    fn wrap(&mut self, whole: Range<usize>, before: String, after: &str) {
        self.list
            .push((whole.start..whole.start, Kind::Open, before));
        self.list
            .push((whole.end..whole.end, Kind::Close, after.to_owned()));
    }

    /// `left OP right` becomes `function(left, right)`.
    fn operator(&mut self, whole: Span, left: Span, operator: &str, function: &str) {
        let after_left = range(left).end;
        let rest = self.source.get(after_left..).unwrap_or_default();
        let gap = rest.trim_start_matches(|c: char| c == ')' || c.is_whitespace());
        if !gap.starts_with(operator) {
            self.is_lost = true;
            return;
        }
        let at = after_left + rest.len() - gap.len();
        self.wrap(range(whole), format!("{function}("), ")");
        let comma = ",".to_owned();
        self.list
            .push((at..at + operator.len(), Kind::Operator, comma));
    }

    fn stmts(&mut self, stmts: &[ast::Stmt<'_>]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &ast::Stmt<'_>) {
        use ast::Stmt as S;
        match stmt {
            S::Template(node) => self.stmts(&node.children),
            S::EmitExpr(node) => self.expr(&node.expr),
            S::ForLoop(node) => {
                self.expr(&node.iter);
                node.filter_expr.iter().for_each(|expr| self.expr(expr));
                self.stmts(&node.body);
                self.stmts(&node.else_body);
            }
            S::IfCond(node) => {
                self.expr(&node.expr);
                self.stmts(&node.true_body);
                self.stmts(&node.false_body);
            }
            S::WithBlock(node) => {
                node.assignments
                    .iter()
                    .for_each(|(_, expr)| self.expr(expr));
                self.stmts(&node.body);
            }
            S::Set(node) => self.expr(&node.expr),
            S::SetBlock(node) => {
                self.captures = true;
                node.filter.iter().for_each(|filter| self.expr(filter));
                self.stmts(&node.body);
            }
            S::AutoEscape(node) => self.stmts(&node.body),
            S::FilterBlock(node) => {
                self.captures = true;
                self.expr(&node.filter);
                self.stmts(&node.body);
            }
            S::Block(node) => self.stmts(&node.body),
            S::Macro(node) => self.define(node),
            S::CallBlock(node) => {
                self.call(&node.call);
                self.define(&node.macro_decl);
            }
            S::Do(node) => self.call(&node.call),
            // Other templates are not there.
            S::EmitRaw(_) | S::Import(_) | S::FromImport(_) | S::Extends(_) | S::Include(_) => {}
        }
    }

    fn define(&mut self, node: &ast::Macro<'_>) {
        self.captures = true;
        self.exprs(&node.defaults);
        self.stmts(&node.body);
    }

    fn call(&mut self, node: &ast::Call<'_>) {
        self.expr(&node.expr);
        self.args(&node.args);
    }

    fn args(&mut self, args: &[ast::CallArg<'_>]) {
        use ast::CallArg as A;
        for arg in args {
            match arg {
                A::Pos(expr) | A::Kwarg(_, expr) | A::PosSplat(expr) | A::KwargSplat(expr) => {
                    self.expr(expr);
                }
            }
        }
    }

    fn exprs(&mut self, exprs: &[ast::Expr<'_>]) {
        for expr in exprs {
            self.expr(expr);
        }
    }

    /// A literal whose members are known when it is compiled is made once.
    fn literal(&mut self, whole: Span, is_constant: bool, members: &[&[ast::Expr<'_>]]) {
        if !is_constant {
            // Parentheses of its own: those of a tuple may be missing.
            self.wrap(range(whole), format!("{KEPT}(("), "))");
        }
        for members in members {
            self.exprs(members);
        }
    }

    fn expr(&mut self, expr: &ast::Expr<'_>) {
        use ast::Expr as E;
        match expr {
            E::Var(_) | E::Const(_) => {}
            E::Slice(node) => {
                let whole = start(expr)..range(node.span()).end;
                self.wrap(whole, format!("{KEPT}("), ")");
                self.expr(&node.expr);
                let ends = [&node.start, &node.stop, &node.step];
                ends.into_iter().flatten().for_each(|end| self.expr(end));
            }
            E::UnaryOp(node) => self.expr(&node.expr),
            E::BinOp(node) => self.binary(node),
            E::Compare(node) => {
                self.expr(&node.expr);
                node.ops.iter().for_each(|op| self.expr(&op.expr));
            }
            E::IfExpr(node) => {
                self.expr(&node.test_expr);
                self.expr(&node.true_expr);
                node.false_expr.iter().for_each(|expr| self.expr(expr));
            }
            E::Filter(node) => {
                node.expr.iter().for_each(|expr| self.expr(expr));
                self.args(&node.args);
            }
            E::Test(node) => {
                self.expr(&node.expr);
                self.args(&node.args);
            }
            E::GetAttr(node) => self.expr(&node.expr),
            E::GetItem(node) => {
                self.expr(&node.expr);
                self.expr(&node.subscript_expr);
            }
            E::Call(node) => self.call(node),
            E::List(node) => {
                self.literal(node.span(), node.as_const().is_some(), &[&node.items]);
            }
            E::Tuple(node) => {
                self.literal(node.span(), node.as_const().is_some(), &[&node.items]);
            }
            E::Map(node) => {
                let members = [node.keys.as_slice(), &node.values];
                self.literal(node.span(), node.as_const().is_some(), &members);
            }
        }
    }

    fn binary(&mut self, node: &ast::Spanned<ast::BinOp<'_>>) {
        let left = span(&node.left);
        match node.op {
            ast::BinOpKind::Add => self.operator(node.span(), left, "+", ADD),
            ast::BinOpKind::Sub => self.operator(node.span(), left, "-", SUBTRACT),
            ast::BinOpKind::Mul => self.operator(node.span(), left, "*", MULTIPLY),
            ast::BinOpKind::Concat => self.operator(node.span(), left, "~", CONCAT),
            // A number or a boolean, which does not grow.
            _ => {}
        }
        self.expr(&node.left);
        self.expr(&node.right);
    }
}
