using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.RegularExpressions;

namespace RepVgg.Tool.CommandLine;

/// <summary>One option of a command: <c>--name VALUE</c>, or <c>--name</c> alone.</summary>
/// <param name="Name">Name of the option, without dashes.</param>
/// <param name="Value">Name of the value in the help text; empty for an option without a value.</param>
/// <param name="Help">Description of the option, one line.</param>
internal sealed record OptionSpec(string Name, string Value, string Help)
{
    /// <summary>The number of threads, see <see cref="Arguments.Threads"/>.</summary>
    public static OptionSpec Threads { get; } = new("threads", "N", "threads; 0 takes every core (default: 0)") { Sets = ["NumberOfThreads"] };

    /// <summary>The properties of the library's options that this option sets; by default, the one with its name, such as BatchSize for <c>batch-size</c>. Messages of the library that name them are shown with the name of this option.</summary>
    public IReadOnlyList<string> Sets { get; init; } = [string.Concat(Name.Split('-').Select(word => char.ToUpperInvariant(word[0]) + word[1..]))];

    /// <summary>Whether there may be several values, one after the other or each with the name of the option.</summary>
    public bool HasSeveralValues { get; init; }
}

/// <summary>A command of a program, with its operands and options. System.CommandLine parses them.</summary>
/// <param name="Name">Name of the command on the command line.</param>
/// <param name="Summary">Description of the command, one line.</param>
/// <param name="Options">The options of the command.</param>
/// <param name="Run">Runs the command and returns the exit code. It defers signals while it writes files.</param>
internal sealed record CommandSpec(string Name, string Summary, IReadOnlyList<OptionSpec> Options, Func<Arguments, Interrupt, int> Run)
{
    /// <summary>The operands (words without dashes), in order: <c>NAME: description</c>, or the name alone. One whose name is in brackets may be missing; of one whose name ends with three points there may be several.</summary>
    public IReadOnlyList<string> Operands { get; init; } = [];

    /// <summary>Whether the help text leaves out the command.</summary>
    public bool IsHidden { get; init; }

    /// <summary>Parses words. The program parses whole command lines instead, see <see cref="CommandRunner"/>.</summary>
    /// <exception cref="UsageException">An option is unknown, repeated or has no value, or there are too many or too few operands.</exception>
    public Arguments Parse(IReadOnlyList<string> words)
    {
        var result = ToCommand(_ => 0).Parse(words, CommandRunner.Parsing);
        return result.Errors.Count == 0 ? new Arguments(result) : throw new UsageException(result.Errors[0].Message);
    }

    /// <summary>Replaces the names of the library's options in a message by those of this command's options that set them.</summary>
    public string Translate(string message)
    {
        foreach (var options in Options.SelectMany(option => option.Sets.Select(name => (Name: name, Option: option))).GroupBy(entry => entry.Name, entry => entry.Option))
        {
            string names = string.Join(" and ", options.Select(option => $"--{option.Name}")), reference = $@"(?:\b[Tt]he option |\b\w*Options\.){options.Key}\b";
            if (options.All(option => option.Value.Length == 0))
                message = Regex.Replace(message, $@"\bset {reference} to \w+", $"give {names}");
            message = Regex.Replace(message, $@"{reference}|\b{options.Key}(?= is )", names);
        }
        return message;
    }

    /// <summary>Creates the command of System.CommandLine.</summary>
    /// <param name="run">Runs it.</param>
    public Command ToCommand(Func<Arguments, int> run)
    {
        var command = new Command(Name, Summary) { Hidden = IsHidden };
        AddTo(command, run);
        return command;
    }

    /// <summary>Adds the operands, the options and the action to a command.</summary>
    public void AddTo(Command command, Func<Arguments, int> run)
    {
        foreach (string operand in Operands)
        {
            string[] parts = operand.Split(": ", 2);
            string name = parts[0].Trim('[', ']', '.');
            Argument argument = parts[0].EndsWith("...", StringComparison.Ordinal) ? new Argument<string[]>(name) { Arity = ArgumentArity.OneOrMore, HelpName = parts[0] }
                : new Argument<string>(name) { Arity = parts[0].StartsWith('[') ? ArgumentArity.ZeroOrOne : ArgumentArity.ExactlyOne };
            argument.Description = parts.ElementAtOrDefault(1);
            argument.Validators.Add(RefuseEmpty);
            command.Arguments.Add(argument);
        }
        foreach (var option in Options)
        {
            if (option.Value.Length == 0)
                command.Options.Add(new Option<bool>("--" + option.Name) { Description = option.Help });
            else if (option.HasSeveralValues)
                command.Options.Add(new Option<string[]>("--" + option.Name) { HelpName = option.Value, Description = option.Help, Arity = ArgumentArity.OneOrMore, AllowMultipleArgumentsPerToken = true });
            else
                command.Options.Add(new Option<string>("--" + option.Name) { HelpName = option.Value, Description = option.Help, Arity = ArgumentArity.ExactlyOne });
        }
        command.SetAction(result => run(new Arguments(result)));
    }

    private static void RefuseEmpty(ArgumentResult result)
    {
        if (result.Tokens.Any(token => token.Value.Length == 0))
            result.AddError($"{result.Argument.Name} is empty.");
    }
}
