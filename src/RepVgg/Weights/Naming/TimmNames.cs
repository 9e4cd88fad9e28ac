using System.Text.RegularExpressions;

namespace RepVgg.Weights.Naming;

/// <summary>Converts weight names between the timm library's RepVGG and the RepVGG authors' code, in both directions.</summary>
/// <remarks>
/// timm's <c>stem</c> is the authors' stage0, its <c>stages.0</c> their stage1; its <c>conv_kxk</c>, <c>conv_1x1</c>,
/// <c>identity</c> and <c>reparam_conv</c> are their <c>rbr_*</c>, its <c>attn.fc1</c>/<c>fc2</c> their <c>se.down</c>/<c>up</c>,
/// its <c>head.fc</c> their <c>linear</c>. timm has no RepVGGplus.
/// </remarks>
public static partial class TimmNames
{
    private static readonly (string Timm, string Authors)[] _parts =
    [
        ("conv_kxk", "rbr_dense"),
        ("conv_1x1", "rbr_1x1"),
        ("identity", "rbr_identity"),
        ("reparam_conv", "rbr_reparam"),
        ("attn.fc1", "se.down"),
        ("attn.fc2", "se.up"),
    ];

    /// <summary>Whether weights have timm's names.</summary>
    /// <param name="state">The weights.</param>
    /// <returns>True if blocks are named <c>stem</c> and <c>stages</c>.</returns>
    public static bool AreIn(StateDict state)
    {
        ArgumentNullException.ThrowIfNull(state);
        return state.Names.Any(name => TimmBlock().IsMatch(name));
    }

    /// <summary>Renames timm's names to the authors'; the tensors are shared.</summary>
    /// <param name="state">Weights under timm's names.</param>
    /// <returns>The same weights under the authors' names, in the same order.</returns>
    /// <exception cref="ArgumentException">There are names that timm's RepVGG does not have. The message lists all of them.</exception>
    public static StateDict ToAuthors(StateDict state) => Rename(state, "timm", name =>
    {
        if (name.StartsWith("head.fc.", StringComparison.Ordinal))
            return "linear." + name["head.fc.".Length..];
        var match = TimmBlock().Match(name);
        if (!match.Success || Replace(match.Groups["rest"].Value, part => part.Timm, part => part.Authors) is not { } rest)
            return null;
        return match.Groups["stage"].Success ? $"stage{int.Parse(match.Groups["stage"].ValueSpan) + 1}.{match.Groups["block"].Value}.{rest}" : $"stage0.{rest}";
    });

    /// <summary>Renames the authors' names to timm's; the tensors are shared.</summary>
    /// <param name="state">Weights under the authors' names, of either form.</param>
    /// <returns>The same weights under timm's names, in the same order.</returns>
    /// <exception cref="ArgumentException">There are names that timm's RepVGG cannot express, such as those of RepVGGplus. The message lists all of them.</exception>
    public static StateDict FromAuthors(StateDict state) => Rename(state, "the authors'", name =>
    {
        if (name.StartsWith("linear.", StringComparison.Ordinal))
            return "head.fc." + name["linear.".Length..];
        var match = AuthorsBlock().Match(name);
        if (!match.Success || Replace(match.Groups["rest"].Value, part => part.Authors, part => part.Timm) is not { } rest)
            return null;
        int stage = int.Parse(match.Groups["stage"].ValueSpan);
        if (match.Groups["block"].Success != stage > 0)
            return null;
        return stage == 0 ? $"stem.{rest}" : $"stages.{stage - 1}.{match.Groups["block"].Value}.{rest}";
    });

    private static string? Replace(string rest, Func<(string Timm, string Authors), string> from, Func<(string Timm, string Authors), string> to)
    {
        foreach (var part in _parts)
        {
            if (rest.StartsWith(from(part) + ".", StringComparison.Ordinal))
                return to(part) + rest[from(part).Length..];
        }
        return null;
    }

    private static StateDict Rename(StateDict state, string whose, Func<string, string?> rename)
    {
        ArgumentNullException.ThrowIfNull(state);
        var renamed = new StateDict();
        var unknown = new List<string>();
        foreach (var (name, tensor) in state)
        {
            if (rename(name) is { } other)
                renamed[other] = tensor;
            else
                unknown.Add(name);
        }
        return unknown.Count == 0
            ? renamed
            : throw new ArgumentException($"These are not names of {whose} RepVGG that can be renamed ({unknown.Count}): {string.Join("; ", unknown)}.", nameof(state));
    }

    [GeneratedRegex(@"\A(stem|stages\.(?<stage>\d{1,3})\.(?<block>\d{1,4}))\.(?<rest>(conv_kxk|conv_1x1|identity|reparam_conv|attn)\..+)\z")]
    private static partial Regex TimmBlock();

    [GeneratedRegex(@"\Astage(?<stage>\d{1,3})(\.(?<block>\d{1,4}))?\.(?<rest>(rbr_\w+|se)\..+)\z")]
    private static partial Regex AuthorsBlock();
}
