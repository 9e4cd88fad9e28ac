using System.Globalization;
using System.Text.RegularExpressions;
using RepVgg.Runtime;

namespace RepVgg.Weights.Naming;

/// <summary>The names that another library gives to the weights of a RepVGG, and their conversion from and to those of the RepVGG authors' code.</summary>
/// <param name="library">Name of the library, for messages.</param>
/// <param name="blocks">Matches the names of blocks' tensors; its groups are <c>stage</c> and <c>block</c> (neither for the stem) and <c>rest</c>.</param>
/// <param name="parts">The layers of a block in the library and in the authors' code.</param>
/// <param name="nameOf">Returns the library's name of a block: of a stage, counted from 1 for the one after the stem, and the block's number in it; the stem has stage 0.</param>
/// <param name="firstStage">The library's number of the stage after the stem.</param>
internal sealed partial class NameStyle(string library, Regex blocks, (string Theirs, string Authors)[] parts, Func<int, string, string> nameOf, int firstStage)
{
    private const string TheirClassifier = "head.fc.", AuthorsClassifier = "linear.";

    /// <summary>Whether weights have a block under the library's names.</summary>
    public bool IsIn(StateDict state)
    {
        ArgumentNullException.ThrowIfNull(state);
        return state.Names.Any(blocks.IsMatch);
    }

    /// <summary>Renames the library's names to the authors'; the tensors are shared.</summary>
    /// <exception cref="ArgumentException">There are names that the library's RepVGG does not have. The message names the first ones.</exception>
    public StateDict ToAuthors(StateDict state) => Rename(state, $"{library}'s", name =>
    {
        if (name.StartsWith(TheirClassifier, StringComparison.Ordinal))
            return AuthorsClassifier + name[TheirClassifier.Length..];
        var match = blocks.Match(name);
        if (!match.Success || Replace(match.Groups["rest"].Value, part => part.Theirs, part => part.Authors) is not { } rest)
            return null;
        return match.Groups["stage"].Success ? $"stage{int.Parse(match.Groups["stage"].ValueSpan, CultureInfo.InvariantCulture) + 1 - firstStage}.{match.Groups["block"].Value}.{rest}" : $"stage0.{rest}";
    });

    /// <summary>Renames the authors' names to the library's; the tensors are shared.</summary>
    /// <exception cref="ArgumentException">There are names that the library's RepVGG cannot express, or its blocks have a branch that these lack. The message names the first ones.</exception>
    public StateDict FromAuthors(StateDict state)
    {
        ArgumentNullException.ThrowIfNull(state);
        var renamed = Rename(state, "the authors'", name =>
        {
            if (name.StartsWith(AuthorsClassifier, StringComparison.Ordinal))
                return TheirClassifier + name[AuthorsClassifier.Length..];
            var match = AuthorsBlock().Match(name);
            if (!match.Success || Replace(match.Groups["rest"].Value, part => part.Authors, part => part.Theirs) is not { } rest)
                return null;
            int stage = int.Parse(match.Groups["stage"].ValueSpan, CultureInfo.InvariantCulture);
            return match.Groups["block"].Success == stage > 0 ? $"{nameOf(stage, match.Groups["block"].Value)}.{rest}" : null;
        });
        CheckIdentities(state);
        return renamed;
    }

    /// <summary>Checks that every block after the first one of its stage has the identity branch with batch norm, without which the library has no such block.</summary>
    private void CheckIdentities(StateDict state)
    {
        const string Kernel = ".rbr_dense.conv.weight";
        var without = new List<string>();
        foreach (string name in state.Names)
        {
            if (name.EndsWith(Kernel, StringComparison.Ordinal) && AuthorsBlock().Match(name) is { Success: true } match
                && int.TryParse(match.Groups["block"].ValueSpan, CultureInfo.InvariantCulture, out int block) && block > 0 && !state.Contains($"{name[..^Kernel.Length]}.rbr_identity.weight"))
            {
                without.Add(name[..^Kernel.Length]);
            }
        }
        if (without.Count > 0)
        {
            throw new ArgumentException(
                $"{library}'s RepVGG has a batch norm in the identity branch of every block after the first one of a stage; these blocks have none ({without.Count}): {MessageText.Join(without)}. "
                + "Write the weights under the authors' names, or the deploy form.", nameof(state));
        }
    }

    private string? Replace(string rest, Func<(string Theirs, string Authors), string> from, Func<(string Theirs, string Authors), string> to)
    {
        foreach (var part in parts)
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
            : throw new ArgumentException($"These are not names of {whose} RepVGG that can be renamed ({unknown.Count}): {MessageText.Join(unknown)}.", nameof(state));
    }

    [GeneratedRegex(@"\Astage(?<stage>[0-9]{1,3})(\.(?<block>[0-9]{1,4}))?\.(?<rest>(rbr_\w+|se)\..+)\z")]
    private static partial Regex AuthorsBlock();
}
