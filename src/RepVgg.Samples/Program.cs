Console.WriteLine("RepVgg samples");
