using Microsoft.ML.RepVgg.Tests.Trainer;
using RepVgg.Testing;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Network;

/// <summary>Nothing uses the network. The processes run under a library (network-watch.c) that refuses and writes down every look-up and connection.</summary>
public sealed class NetworkTests(TrainedStripes trained) : IClassFixture<TrainedStripes>, IDisposable
{
    internal const string Switch = "ORT_DISABLE_TELEMETRY";

    /// <summary>Seconds that a program waits at its end: ONNX Runtime 1.31 sends for the first time after about nine. Where it must send, the program waits until it has, at most a minute.</summary>
    private const string Wait = "15", LongestWait = "60";

    private const string Host = "events.data.microsoft.com";

    /// <summary>The variables by which ONNX Runtime recognises builds and tests, where it has no telemetry.</summary>
    private static readonly string[] _signsOfBuilds =
    [
        "CI", "TF_BUILD", "GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "TRAVIS", "JENKINS_URL", "CODEBUILD_BUILD_ID", "BUILDKITE",
        "TEAMCITY_VERSION", "APPVEYOR", "BITBUCKET_BUILD_NUMBER", "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI", "ORT_RUNNING_UNIT_TESTS",
    ];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [PreloadFact]
    public async Task Training_saving_loading_and_scoring_use_no_network_and_leave_no_files()
    {
        await Run(Program.Child, null, "network-own-model", _folder.File("model.zip"), Wait);
        Assert.Equal("", Uses);
        Assert.Empty(Files());
    }

    /// <summary>.NET changes only its own copy of the environment, and ONNX Runtime reads that of the C library.</summary>
    [UnixTheory]
    [InlineData("", "1")]
    [InlineData("1", "1")]
    [InlineData("true", "true")]
    public async Task A_variable_that_the_application_sets_counts_for_native_code(string value, string expected)
    {
        var (exitCode, output, errors) = await Program.Child.RunWithAsync(new() { [Switch] = null }, "native-variable", value);
        Assert.True(exitCode == 0, errors);
        Assert.Equal(expected, output.Trim());
    }

    [PreloadFact]
    public async Task An_application_that_created_the_environment_of_ONNX_Runtime_before_can_save() =>
        await Run(Program.Child, null, "network-own-model-late", _folder.File("model.zip"));

    [PreloadFact]
    public async Task The_watch_sees_look_ups()
    {
        await Run(Program.Child, null, "network-look-up");
        Assert.Equal("getaddrinfo host.invalid", Uses.Trim());
    }

    /// <summary>The reason for the switch, and what the README says about applications that load models without this library.</summary>
    [PreloadFact]
    public async Task ONNX_Runtime_alone_uses_the_network_unless_the_variable_is_set()
    {
        string model = _folder.File("model.zip"), images = _folder.Write("images", new byte[Stripes.Size * Stripes.Size * sizeof(float)]);
        trained.Context.Model.SaveRepVgg(trained.Model, trained.TrainingData.Schema, model);
        string size = $"{Stripes.Size}";
        await Run(SavedModelTests.Consumer, "1", model, "1", size, size, images);
        Assert.Empty(Files());
        await Run(SavedModelTests.Consumer, null, model, "1", size, size, images, LongestWait, Log, Host);
        Assert.Contains(Host, Uses, StringComparison.Ordinal);
        Assert.NotEmpty(Files());
    }

    private string Home => Directory.CreateDirectory(_folder.File("home")).FullName;

    private string Temporary => Directory.CreateDirectory(_folder.File("temporary")).FullName;

    private string Log => _folder.File("network.log");

    /// <summary>The look-ups and connections of the program, one on each line.</summary>
    private string Uses => File.ReadAllText(Log);

    /// <summary>The files that the program left in its home folder and in the temporary folder, where ML.NET leaves empty folders.</summary>
    private IEnumerable<string> Files() => Directory.EnumerateFiles(Home, "*", SearchOption.AllDirectories).Concat(Directory.EnumerateFiles(Temporary));

    /// <summary>Runs a program under the watch.</summary>
    /// <param name="program">The program.</param>
    /// <param name="switchedOff">Value of the variable that switches ONNX Runtime's telemetry off; null for none.</param>
    /// <param name="arguments">The program's arguments.</param>
    private async Task Run(ChildProgram program, string? switchedOff, params string[] arguments)
    {
        File.WriteAllText(Log, "");
        var variables = _signsOfBuilds.ToDictionary(name => name, _ => (string?)null);
        string library = _folder.File("network-watch.so");
        PreloadedLibrary.Compile(Path.Combine(AppContext.BaseDirectory, "Network", "network-watch.c"), library);
        variables["LD_PRELOAD"] = library;
        variables["NETWORK_WATCH_LOG"] = Log;
        variables[Switch] = switchedOff;
        variables["TMPDIR"] = Temporary;
        variables["HOME"] = Home;
        variables["XDG_CACHE_HOME"] = variables["XDG_DATA_HOME"] = null;
        variables["DOTNET_EnableDiagnostics"] = "0"; // its files are in the temporary folder
        var (exitCode, _, errors) = await program.RunWithAsync(variables, arguments);
        Assert.True(exitCode == 0, errors);
    }
}
