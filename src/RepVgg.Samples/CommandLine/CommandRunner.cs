using RepVgg.Runtime;

namespace RepVgg.Samples.CommandLine;

/// <summary>Finds and runs the command. An exception is reported as one line on the error stream.</summary>
internal static class CommandRunner
{
    private const int Failed = 1, WrongUsage = 2;

    private static readonly string[] _help = ["--help", "-h", "-?", "help"];

    /// <returns>The exit code: 0, 1 for a failure, 2 for a wrong command line, 130 when interrupted by Ctrl-C, 143 by SIGTERM.</returns>
    public static int Run(IReadOnlyList<CommandSpec> commands, string[] args)
    {
        using var interrupt = new Interrupt();
        try
        {
            bool named = args.Length > 0 && !args[0].StartsWith('-');
            if (args.Length == 1 && _help.Contains(args[0]))
            {
                HelpText.WriteAll(Console.Out, commands);
                return 0;
            }
            var command = named
                ? commands.FirstOrDefault(c => c.Name == args[0]) ?? throw new UsageException($"There is no command '{args[0]}'. There are: {string.Join(", ", commands.Select(c => c.Name))}.")
                : commands[0];
            string[] rest = named ? args[1..] : args;
            if (rest.Any(_help.Contains))
            {
                HelpText.Write(Console.Out, command);
                return 0;
            }
            int exitCode = command.Run(command.Parse(rest), interrupt);
            return interrupt.ExitCode != 0 ? interrupt.ExitCode : exitCode;
        }
        catch (UsageException e)
        {
            Console.Error.WriteLine($"{e.Message} Try --help.");
            return WrongUsage;
        }
        catch (Exception e) when (interrupt.IsCauseOf(e))
        {
            Console.Error.WriteLine("Interrupted.");
            return interrupt.ExitCode;
        }
        catch (Exception e)
        {
            Console.Error.WriteLine($"Error: {Meaning(e)}");
            return Failed;
        }
    }

    /// <summary>Gets the message of an exception as one line, without control characters and without the parameter name that .NET appends. For an exception that only wraps another one, gets the message of the inner exception.</summary>
    private static string Meaning(Exception exception)
    {
        while (exception is AggregateException or System.Reflection.TargetInvocationException && exception.InnerException is { } inner)
            exception = inner;
        string message = exception.Message.ReplaceLineEndings(" ");
        string suffix = exception is ArgumentException { ParamName: { } name } ? $" (Parameter '{name}')" : "";
        return MessageText.WithoutControls(suffix.Length > 0 && message.EndsWith(suffix, StringComparison.Ordinal) ? message[..^suffix.Length] : message);
    }
}
