using System.CommandLine;
using System.Text;
using RepVgg.Runtime;

namespace RepVgg.Tool.CommandLine;

/// <summary>Finds and runs the command. An exception is reported as one line on the error stream.</summary>
internal static class CommandRunner
{
    private const int Failed = 1, WrongUsage = 2;

    private const string Signals = """
        Ctrl-C stops training at the next batch and keeps the best model so far; other commands end at once, but complete a file that they write. A second Ctrl-C ends at once.
        Exit codes: 0, 1 for a failure, 2 for a wrong command line, 130 for Ctrl-C, 143 for SIGTERM.
        """;

    /// <summary>Paths may begin with @, so that there are no response files.</summary>
    public static ParserConfiguration Parsing { get; } = new() { ResponseFileTokenReplacer = null };

    /// <param name="description">Description of the program.</param>
    /// <param name="commands">The commands.</param>
    /// <param name="args">The command line.</param>
    /// <param name="byDefault">The command that runs if none is named; null if one must be named.</param>
    /// <returns>The exit code: 0, 1 for a failure, 2 for a wrong command line, 130 when interrupted by Ctrl-C, 143 by SIGTERM.</returns>
    public static int Run(string description, IReadOnlyList<CommandSpec> commands, string[] args, CommandSpec? byDefault = null)
    {
        using var interrupt = new Interrupt();
        var encoding = Console.OutputEncoding;
        (CommandSpec Command, Arguments Arguments)? running = null;
        var root = new RootCommand($"{description}\n\n{(byDefault is null ? "" : $"Without a command, {byDefault.Name} runs. ")}{Signals}");
        byDefault?.AddTo(root, Execute(byDefault));
        foreach (var command in commands)
            root.Subcommands.Add(command.ToCommand(Execute(command)));
        try
        {
            // Files and other programs get UTF-8, whatever the code page of the console is.
            if (Console.IsOutputRedirected || Console.IsErrorRedirected)
                Console.OutputEncoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
            var result = root.Parse(args, Parsing);
            if (result.Errors.Count > 0 && result.Action is not System.CommandLine.Help.HelpAction)
            {
                // A word that is not known explains more than what is missing because of it.
                var unknown = result.Errors.FirstOrDefault(error => result.UnmatchedTokens.Any(token => error.Message.Contains($"'{token}'", StringComparison.Ordinal)));
                throw new UsageException((unknown ?? result.Errors[0]).Message);
            }
            // Signals and exceptions are handled here.
            return result.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null, Output = Console.Out, Error = Console.Error });
        }
        catch (UsageException e)
        {
            return Refuse(running?.Command.Translate(e.Message) ?? e.Message);
        }
        catch (Exception e) when (interrupt.IsCauseOf(e))
        {
            Console.Error.WriteLine("Interrupted.");
            return interrupt.ExitCode;
        }
        catch (Exception e)
        {
            var cause = Cause(e);
            string message = Message(cause);
            message = running?.Command.Translate(message) ?? message;
            if (cause is ArgumentException && running?.Arguments.AreNamedIn(message) == true)
                return Refuse(message);
            Console.Error.WriteLine($"Error: {message}");
            return Failed;
        }
        finally
        {
            if (Console.IsOutputRedirected || Console.IsErrorRedirected)
                Console.OutputEncoding = encoding;
        }

        Func<Arguments, int> Execute(CommandSpec command) => arguments =>
        {
            running = (command, arguments);
            int exitCode = command.Run(arguments, interrupt);
            return interrupt.ExitCode != 0 ? interrupt.ExitCode : exitCode;
        };
    }

    private static int Refuse(string message)
    {
        Console.Error.WriteLine($"{message} Try --help.");
        return WrongUsage;
    }

    /// <summary>For an exception that only wraps another one, gets the inner exception.</summary>
    private static Exception Cause(Exception exception)
    {
        while (exception is AggregateException or System.Reflection.TargetInvocationException && exception.InnerException is { } inner)
            exception = inner;
        return exception;
    }

    /// <summary>Gets the message of an exception as one line, without control characters and without the parameter name that .NET appends.</summary>
    private static string Message(Exception exception)
    {
        string message = exception.Message.ReplaceLineEndings(" ");
        string suffix = exception is ArgumentException { ParamName: { } name } ? $" (Parameter '{name}')" : "";
        return MessageText.WithoutControls(suffix.Length > 0 && message.EndsWith(suffix, StringComparison.Ordinal) ? message[..^suffix.Length] : message);
    }
}
