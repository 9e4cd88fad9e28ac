using RepVgg.Samples.Web;
using RepVgg.Samples.Web.Settings;

try
{
    await using var server = PredictionServer.Create(args);
    await server.RunAsync();
    return 0;
}
catch (UsageException error)
{
    Console.Error.WriteLine(error.Message);
    return 2;
}
catch (Exception error) when (error is IOException or InvalidDataException or UnauthorizedAccessException)
{
    Console.Error.WriteLine(error.Message);
    return 1;
}
